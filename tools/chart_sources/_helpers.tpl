{{- /* May it act? `enabled: false` always means no, also where a value of an older release is kept (--reuse-values). */ -}}
{{- define "recovery.acts" -}}
{{- if and (ne (toString .Values.enabled) "false") (eq (toString (default "act" .Values.mode)) "act") -}}true{{- end -}}
{{- end -}}

{{- /* ValidatingAdmissionPolicies are served from Kubernetes 1.30 on; `helm template` knows the version and not the kinds. */ -}}
{{- define "recovery.admission" -}}
{{- if and .Values.admission.enabled (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) -}}true{{- end -}}
{{- end -}}

{{- define "recovery.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* The policies, with the channels that are told where nothing else says so. */ -}}
{{- define "recovery.policies" -}}
{{- $text := .Values.policies | default (.Files.Get "files/policies.yaml") -}}
{{- $channels := (.Values.channels).default -}}
{{- if and $channels (regexMatch "(?m)^defaults:" $text) -}}
{{- fail "channels.default: the policies have a section defaults: write channels there" -}}
{{- end -}}
{{- if $channels }}{{ printf "%s\ndefaults: {channels: %s}\n" (trimSuffix "\n" $text) (toJson $channels) }}{{ else }}{{ $text }}{{ end -}}
{{- end -}}
