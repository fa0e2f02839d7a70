"""The words by which causes are known, each list in the order in which it is read: the first line
that matches counts.

Argo CD's words are from its source (3.2 to 3.6); those of Git, Helm, kubelet and the Kubernetes API
pass through it.
"""

from __future__ import annotations

import re

from msgspec import Struct

from recovery.causes.linear import after, last, linear
from recovery.model.remembered import remembered


class Line(Struct, frozen=True):
    """A cause, its variant, and the expressions that tell it."""

    cause: str
    variant: str
    pattern: re.Pattern[str]


def _line(cause: str, *patterns: str) -> Line:
    name, _, variant = cause.partition("/")
    return Line(name, variant, linear(*patterns))


class PatternTable:
    """Lines in the order in which they are read."""

    def __init__(self, *lines: Line) -> None:
        self._lines = lines
        self.first = remembered(2048)(self._first)

    def _first(self, message: str) -> Line | None:
        return (
            next((line for line in self._lines if line.pattern.search(message)), None)
            if message
            else None
        )

    def rank(self, line: Line) -> int:
        """Rank of a pattern: what stands first tells more."""
        return self._lines.index(line)


_REDIS = _line(
    "RepoServerTransient/Redis",
    r"\bNOAUTH\b",
    r"\bWRONGPASS\b",
    r"\bredis(?:/v\d+)?: ",
    r"dial tcp [^ ]{0,300}:6379|lookup [\w.-]{0,60}argocd[\w-]{0,60}redis|lookup [\w-]{0,60}redis[\w-]{0,60}(?:\.[\w-]{1,63}\.svc[\w.]{0,40})? on ",
    r"\bOOM command not allowed",
)
_PROXY = (
    r"proxyconnect tcp",
    r"\b407\b|Proxy Authentication Required",
    r"proxy (?:error|responded)",
)
_NETWORK = (
    r"i/o timeout",
    r"TLS handshake timeout",
    r"no such host",
    r"server misbehaving",
    r"could not resolve host",
    r"temporary failure in name resolution",
    r"connection (?:refused|reset|timed out|closed)",
    r"no route to host",
    r"network is unreachable",
    r"\b429\b|too many requests|rate.?limit|secondary rate",
    r"Client\.Timeout",
    r"failed to connect to .* port",
    r"unable to access '.*': (?:The requested URL returned error: 5|gnutls|OpenSSL|SSL|Failed|Could not|Recv|Empty)",
    r"status code: 5\d\d|\b50[0234]\b (?:Internal|Bad|Service|Gateway)|requested URL returned error: 5\d\d",
    r"early EOF|remote end hung up|unexpected disconnect|RPC failed",
    r"remote: .{0,60}(?:internal (?:API|server)|unavailable|maintenance|try again|not responding|timed? ?out)",
    r"\b(?:git|helm (?:pull|dependency|repo|registry)) [^`]{0,2000}`? failed (?:fatal )?timeout after",
    r"context deadline exceeded",
    *_PROXY,
    r"\bdial tcp\b",
    r"operation timed out|connection timed out",
)
_HOST_KEY = (
    r"knownhosts: key|key mismatch",
    r"host key verification failed",
    r"REMOTE HOST IDENTIFICATION HAS CHANGED|offending \w+ key in",
    r"ssh: unknown host key|unknown host key",
)
_CERTIFICATE = (
    r"x509: |certificate signed by unknown authority",
    r"certificate (?:verify|verification|has expired|is not valid|is not trusted)|SSL certificate problem|self.signed certificate",
    r"tls: failed to verify certificate",
)
_HOSTS_REFUSE = (
    # GitHub
    r"Repository not found|remote: Not Found",
    r"Support for password authentication was removed|remote: Invalid username or (?:password|token)",
    r"remote: Permission to [^ ]{1,200} denied|remote: Write access to repository not granted",
    r"SAML (?:enforcement|SSO)|organization has enabled or enforced SAML|IP allow list",
    r"account (?:is|has been|was) (?:suspended|disabled|locked)|repository (?:has been|is) disabled",
    r"could not refresh installation|Integration not found|installation .{0,40}(?:suspended|not found)",
    # GitLab
    r"HTTP Basic: Access denied|remote: Access denied",
    r"project you were looking for could not be found|not allowed to (?:download|pull|upload) code",
    r"deploy (?:key|token) .{0,60}(?:expired|revoked|not found)|password (?:has|is) expired",
    # Bitbucket
    r"may not have access to this repository|no longer exists in this workspace|Bitbucket .{0,60}(?:password|deprecat|stopped)",
    r"bitbucket\.org.{0,300}(?:status code: |returned error: )410|app passwords? (?:are|is|have been) (?:deprecated|disabled|removed)",
    r"CAPTCHA|access via a deployment key|Repository access denied",
    # Azure DevOps: without credentials it redirects to its sign-in page
    r"dev\.azure\.com.{0,300}status code: (?:30[1237]|203)|visualstudio\.com.{0,300}status code: (?:30[1237]|203)",
    r"status code: 30[23]\b|_signin|login\.microsoftonline\.com",
    r"TF401019|TF400813|TF401444|TF200016|VS30\d{4}|VS40\d{4}|AADSTS\d{4,7}",
    # CodeCommit, and AWS in general
    r"security token included in the request|SignatureDoesNotMatch|UnrecognizedClientException|ExpiredToken|AccessDeniedException|InvalidSignatureException",
    r"RepositoryDoesNotExistException",
    # Gitea, Forgejo
    r"remote: Unauthorized|remote: User permission denied|remote: (?:Gitea|Forgejo): (?:Unauthorized|Not found)",
)
"""Git hosts in their own words. Some of them call a repository that one may not see one that is not
there."""
_REFUSED = (
    *_HOSTS_REFUSE,
    r"authentication required",
    r"authorization failed",
    r"authentication failed",
    r"invalid (?:username|credentials|auth|authentication)",
    r"could not read (?:Username|Password)",
    r"permission denied \(publickey",
    r"permission denied, please try again",
    r"unable to authenticate",
    last(r"ssh: handshake failed: ", without="timeout"),
    r"error creating SSH agent",
    r"ssh: no key found|cannot decode encrypted private keys",
    r"repository not found",
    r"remote: (?:HTTP Basic: )?Access denied|remote: Invalid",
    r"terminal prompts disabled",
    r"bad credentials",
    r"(?:status|code|HTTP(?:/\d\.\d)?|response|error|returned)[^\w]{1,3}40[13]\b|\b40[13] (?:Unauthorized|Forbidden)",
    r"\bunauthorized\b|\bForbidden\b",
    r"credentials? (?:have |has )?expired|token (?:has |is )?expired|could not refresh installation|Integration not found",
    r"error getting credentials|denied: (?:requested access|access forbidden|permission)|insufficient_scope|no basic auth credentials",
)

VAGUE = _line(
    "SpecNotPermitted", r"is required|are required|must be|invalid|missing", r"not allowed"
)
_REPO_SERVER = (
    _line(
        "RepoServerTransient/Disk",
        r"no space left on device|disk quota exceeded",
        r"read-only file system",
        r"(?:mkdir|create|chdir|unlinkat|rename) /(?:tmp|var/tmp|helm-working-dir|reposerver)[^ ]{0,300}: (?:no such file|not a directory)",
        r"(?:mkdir|open|create|stat|chdir|unlinkat|rename) /(?:tmp|var/tmp|helm-working-dir|reposerver)[^ ]{0,300}: permission denied",
        r"input/output error|stale (?:NFS )?file handle|structure needs cleaning",
    ),
    _line(
        "RepoServerTransient/Checkout",
        r"index\.lock|shallow\.lock|config\.lock|cannot lock ref|Unable to create '[^']{0,300}\.lock'",
        r"another git process seems to be running",
        r"local changes to the following files would be overwritten|untracked working tree files would be",
        r"loose object .{0,200}corrupt|object file .{0,200} is empty|bad object HEAD|index file (?:corrupt|smaller)|packfile .{0,200}(?:corrupt|cannot be accessed)",
        r"detected dubious ownership|not a git repository",
    ),
    _line(
        "RepoServerTransient/TimedOut",
        r"`(?:kustomize|helm template|jsonnet|cue|cmp|bash|sh)\b[^`]{0,2000}`? failed (?:fatal )?timeout after",
        r"signal: (?:killed|terminated)",
        r"cannot allocate memory|fork/exec [^ ]{1,200}: resource temporarily unavailable|too many open files|can't start new thread",
        r"error acquiring (?:repo )?lock|failed to acquire lock|error (?:acquiring|obtaining) (?:repository )?lock",
        r"text file busy",
    ),
    _line(
        "RepoServerTransient/TooLarge",
        r"received message larger than max|trying to send message larger than max",
        r"exceeded max combined manifest|manifest(?:s)? (?:file )?size .{0,80}exceed",
    ),
)
"""What the repo-server says of itself, whatever it was asked to render."""
PLUGIN = _line(
    "ManifestError/Plugin",
    r"plugin sidecar failed|error generating manifests in cmp|could not find (?:any )?(?:cmp|plugin)|config ?management ?plugin|cmp.*failed",
    r"argocd-vault-plugin|\bavp\b|could not replace all placeholders",
)
SECRET_TOOLS = _line(
    "ManifestError/Secrets",
    r"\bsops(?:: | metadata| -d)|\bksops\b|helm secrets|\[helm-secrets\]|ref\+(?:vault|sops|aws|gcp|azure)",
    r"could not decrypt|failed to decrypt|error decrypting|no master key was able|failed to get the data key|error getting data key",
    r"no identity matched any of the recipients|age: .{0,60}identit|secring\.gpg|pubring",
    r"vault(?:-plugin|\.[a-z0-9.-]{1,100}/v1/)|Error making API request\. URL: \w+ https?://[^ ]{1,300}/v1/",
)
SPEC = PatternTable(
    _line(
        "DestinationUnknown",
        r"there are no clusters with this name",
        r"cluster '[^']{0,300}' has not been configured",
        r"there are \d+ clusters with the same name",
        r"error getting cluster by",
        r"cluster \"[^\"]{0,300}\" not found",
        r"unable to find destination server",
        r"(?:Failed to get|error (?:getting|retrieving|resolving)|failed to resolve) destination cluster",
    ),
    _REDIS,
    _line("RepoServerTransient", r"code = Unavailable", r"dial tcp [^ ]{0,300}:8081"),
    _line("GitAuthFailed/HostKey", after("repository not accessible: ", *_HOST_KEY)),
    _line("GitAuthFailed/Certificate", after("repository not accessible: ", *_CERTIFICATE)),
    _line("GitAuthFailed", after("repository not accessible: ", *_REFUSED)),
    _line(
        "RevisionNotFound",
        r"unable to resolve '[^']{0,300}' to a commit",
        r"app path does not exist",
        r"app path is (?:absolute|not a directory)",
    ),
    _line("GitUnreachable", after("repository not accessible: ", *_NETWORK)),
    _line("ManifestError", r"unable to generate manifests?", r"exit status \d"),
    _line(
        "SpecNotPermitted",
        r"is not permitted",
        r"not permitted to use project",
        r"do(?:es)? not match any of the allowed destinations",
        r"Application referencing project .* which does not exist",
        r"can't have both name and server",
        r"Destination server missing|destination (?:server|namespace|cluster).* missing|destination\.(?:name|server)",
        r"spec\.(?:source|sources|project|destination)",
    ),
    VAGUE,
)
"""InvalidSpecError and UnknownError."""

_CLUSTER_WORDS = r"failed to get cluster (?:info|version) for|failed to sync cluster|error synchronizing cache state|error getting cluster cache"
_LIVE_REFUSED = (
    r"asked for the client to provide credentials",
    r"x509: ",
    r"\bUnauthorized\b|\b401\b",
    last(r"tls: ", without="timeout"),
    r"certificate (?:signed by|has expired|is not valid)",
    r"getting credentials: ",
    r"exec: executable .* (?:failed|not found)",
    r"no Auth Provider found",
    r"ExpiredToken|AccessDenied|could not get token|failed to get token|error retrieving token|oauth2: ",
    r"invalid bearer token",
)
_LIVE_PARTIAL = (
    r"failed to load initial state of resource",
    r"conversion webhook",
    r"failed to load open api schema|unable to load openapi",
    r"is forbidden",
    r"cannot (?:list|watch|get) resource",
    r"server is currently unable to handle the request",
    r"unable to retrieve the complete list of server APIs",
    r"could not find the requested resource",
    r"is currently not served|error converting",
    r"Unauthorized to list",
)
LIVE = PatternTable(
    _REDIS,
    _line("ClusterAPIPartial", r"conversion webhook"),
    _line("ClusterCredentials", *_LIVE_REFUSED),
    _line("ClusterAPIPartial", *_LIVE_PARTIAL),
    _line("ClusterUnreachable", r"controller is configured to ignore cluster"),
    _line(
        "ClusterUnreachable",
        *_NETWORK,
        r"no answer",
        r"\bEOF\b",
        r"Service Unavailable",
        r"http2: client connection lost",
        r"timed? ?out",
    ),
)
"""What is about the cluster: live state, its cache."""
ABOUT_CLUSTER = re.compile(
    f"Failed to load live state|Unable to connect to cluster|failed to get server version|{_CLUSTER_WORDS}|asked for the client to provide credentials|cannot (?:list|watch|get) resource|error getting live state|failed to get api resources",
    re.IGNORECASE,
)

CACHED = re.compile(r"(?:Manifest generation )?error \(cached\):? ?", re.IGNORECASE)
SIGNED = _line(
    "SignatureInvalid",
    r"\bGnuPG (?:key|sign|verif|is)|gpg: (?:Signature|Good|BAD|Can't check|error verifying)",
    r"signature (?:is |was )?(?:required|missing|invalid|bad|unknown|could not|verification|check|of)|(?:bad|invalid|unknown|missing|no|verify(?:ing)?) (?:\w+ )?signature",
    r"not signed|unsigned (?:commit|revision|tag)|signed with (?:unknown|an? (?:unknown|untrusted)|key|unauthorized)|no public key",
    r"source integrity|integrity (?:check|error|criteria)",
)
DIFFED = _line(
    "DiffError",
    r"Failed to compare desired state to live state",
    r"failed to normali[sz]e|error normali[sz]ing",
    r"Failed to deduplicate target state",
    r"field not declared in schema",
    r"error calculating (?:structured merge|server.?side) diff",
    r"failed to (?:perform|calculate) (?:server.?side )?diff|error running dry.?run apply|ServerSideDiff|server-side diff",
    r"unable to (?:remarshal|convert) |error building typed value",
    r"Failed to check if live resource",
    r"error setting app health",
    r"creating (?:mapping|union) values|failed to convert .* to structured",
)
HEALTH_SCRIPT = _line(
    "DiffError/HealthScript",
    r"<string>:\d{1,5}: ",
    r"attempt to (?:index|call|compare|perform arithmetic on|concatenate) a (?:nil|non-table|non-function)",
    r"in main chunk \[G\]|error (?:executing|running) (?:lua|health) script|lua (?:script|health) .{0,60}(?:failed|error|timed out)",
)
"""Argo CD's Lua runs on one object, and what it says comes as it is."""
ARGOCD_ITSELF = PatternTable(
    _REDIS,
    _line(
        "RepoServerTransient",
        r"code = Unavailable",
        r"dial tcp [^ ]{0,300}:8081|lookup [^ ]{0,200}repo-server",
        r"transport is closing",
        r"connection error: desc",
        r"code = Canceled",
        r"code = DeadlineExceeded",
    ),
    *_REPO_SERVER,
    _line("RepoServerTransient", r"code = ResourceExhausted"),
    _line("DestinationUnknown", r"code = NotFound desc = cluster "),
)
"""What Argo CD says of itself."""
RENDERED_BADLY = _line("ManifestError", r"`?(?:helm template|kustomize build|jsonnet)\b")
RENDERS = re.compile(r"`?(?:helm template|kustomize build|jsonnet)\b", re.IGNORECASE)
REMOTE = re.compile(
    r"\b(?:https?|oci|ssh|git)://|git (?:fetch|ls-remote|clone|submodule)|dial tcp|\bgit@|fetching |failed to (?:clone|fetch|download)",
    re.IGNORECASE,
)
"""A renderer that reads something from elsewhere: then it may be the network, or credentials."""
TARGET_STATE = PatternTable(
    _line("GitUnreachable", *_PROXY),
    _line(
        "RevisionNotFound",
        r"unable to resolve '?[^']{0,300}'? to a (?:commit|concrete|digest)",
        r"(?:app )?path does not exist",
        r"app path is not a directory",
        r"cannot reference a different revision of the same repository",
        r"couldn't find remote ref|reference not found|object not found",
        r"pathspec .* did not match|not a tree|bad revision|unknown revision",
        r"chart .*(?:not found|version not found)|no chart (?:version|name) found|improper constraint",
        r"remote repository is empty",
        r"unable to read tree",
        r"failed to fetch [^ ]{1,300} ?: 404\b|index\.yaml.* 404 Not Found",
        r"not our ref|fatal: reference is not a tree|did not send all necessary objects",
        r"revision .* (?:not found|does not exist|must be resolved)|invalid revision",
        r"manifest unknown|could not (?:find|resolve) (?:a )?(?:tag|version)|constraint .* does not match|version .* not found in",
        r"no such file or directory.*(?:values|\.ya?ml)",
    ),
    _line("GitAuthFailed/HostKey", *_HOST_KEY),
    _line("GitAuthFailed/Certificate", *_CERTIFICATE),
    _line("GitAuthFailed", *_REFUSED),
    _line("GitUnreachable", *_NETWORK),
    _line(
        "ManifestError",
        r"requires kubeVersion|chart requires|values don't meet the specifications|found in Chart\.yaml, but missing in charts/|chart metadata is missing",
        r"`?helm (?:template|dependency)[^`]{0,300}`? failed",
        r"`?kustomize build[^`]{0,300}`? failed",
        r"Failed to unmarshal",
        r"error (?:converting|unmarshaling|parsing) (?:YAML|JSON)|yaml: |json: cannot unmarshal|mapping values are not allowed",
        last(r"failed to (?:execute|render|parse|evaluate) ", without="i/o timeout|401|403"),
        r"out.of.bounds symlinks|symlink",
        r"RUNTIME ERROR|jsonnet",
        r"no (?:matches for|such) kustomization|accumulating resources",
        r"Object 'Kind' is missing|apiVersion not set|resource name may not be empty|metadata\.name",
        r"nil pointer evaluating|template: .*:\d+",
        r"multiple application sources|duplicate (?:key|resource|id)|may not add resource with an already registered id",
    ),
    _line("RepoServerTransient/TimedOut", r"failed (?:fatal )?timeout after"),
    _line("RepoServerTransient", r"transport: ", r"error while dialing"),
    _line("GitUnreachable", r"failed to (?:list refs|fetch|clone|ls-remote).*\bEOF\b"),
)
"""ComparisonError about what is wanted."""

RENDERED = re.compile(
    r"Unable to generate manifests|error resolving (?:repo )?revision|rpc error: code = |^ComparisonError",
    re.IGNORECASE,
)
"""What came from the repo-server, wherever it stands."""
GAVE_UP = re.compile(
    r"Failed (?:last )?(?:partial )?sync attempt to \[?([^\]:]*)\]?:? ?", re.IGNORECASE
)
WIPES = re.compile(r"will wipe out all resources", re.IGNORECASE)
TIMED_OUT = re.compile(
    r"triggered by controller sync timeout|terminating due to timeout", re.IGNORECASE
)

OPERATION_WAITS = PatternTable(
    _line(
        "WaitingForHuman",
        r"blocked by sync window",
        r"waiting for pruning confirmation",
        r"waiting for deletion of",
        r"invalid sync window",
    ),
    _line("HookFailed/Hung", r"waiting for completion of hook"),
    _line("WaveNotHealthy", r"waiting for healthy state of"),
)
"""What a running operation says it waits for."""
RETRYING = re.compile(r"Retrying attempt #(\d+)(?: at (\S+))?", re.IGNORECASE)
WAITS_FOR = re.compile(r"(?:state of|hook|deletion of|confirmation of) ([^\s]+)")

TRANSIENT = PatternTable(
    _line(
        "AutoSyncGaveUp",
        r"etcdserver: ",
        r"the object has been modified|Operation cannot be fulfilled",
        r"server is currently unable to handle the request",
        r"the server was unable to return a response in the time allotted",
        r"server has received too many requests|Too many requests",
        r"context deadline exceeded|i/o timeout|TLS handshake timeout|unexpected EOF|\bEOF$",
        r"connection (?:refused|reset|closed)|client connection lost|broken pipe",
        r"an error on the server",
        last(r"internal error occurred", without="webhook"),
        r"no endpoints available",
        r"failed to initialize sync context",
        r"leader changed|rpc error: code = (?:Unavailable|DeadlineExceeded)",
    ),
)

RESULT = PatternTable(
    _line("WipeGuard", r"will wipe out all resources"),
    _line(
        "WebhookDown",
        r"failed calling webhook",
        r"failed to call webhook",
        r"failed calling (?:mutating|validating|admission)",
        r"conversion webhook for .* failed",
        r"could not find the requested resource.*webhook",
    ),
    _line(
        "AdmissionDenied",
        r"admission webhook \"[^\"]{0,300}\" denied",
        r"denied the request",
        r"ValidatingAdmissionPolicy .* denied",
        r"violates PodSecurity|unable to validate against any (?:pod security|security context)",
        r"admission control.* denied|denied by (?:policy|gatekeeper|kyverno)|blocked due to the following policies",
        r"is forbidden: .*(?:PodSecurity|policy)",
    ),
    _line(
        "QuotaExceeded",
        r"exceeded quota",
        r"forbidden: (?:maximum|minimum|failed quota|\[?(?:maximum|minimum))",
        r"failed quota",
        r"quota .* (?:insufficient|exhausted)",
        r"(?:maximum|minimum) (?:cpu|memory|storage) .*usage",
        r"must specify (?:limits|requests)",
    ),
    _line(
        "NamespaceMissing",
        r"namespaces? \"[^\"]{0,300}\" not found",
        r"the namespace failed to apply",
        r"Namespace for .* is missing",
        r"namespace .* (?:is|because it is) being terminated",
        r"unable to create new content in namespace",
        r"namespace auto creation failed",
    ),
    _line(
        "MissingCRD",
        r"The Kubernetes API could not find",
        r"CRD is installed on the destination cluster",
        r"no matches for kind",
        r"the server could not find the requested resource",
        r"resource mapping not found|ensure CRDs are installed",
        r"no kind .* is registered",
        r"could not find version",
        r"unable to recognize .*no matches",
        r"failed to find (?:api|resource) .* in (?:cluster|discovery)",
        # where the group is served and this kind of it is not (seen on 3.2)
        r"\b[A-Z]\w{0,63}\.[a-z0-9.-]{1,253} \"\" not found",
    ),
    _line(
        "ObjectTooLarge",
        r"Too long: (?:must have at most|may not be (?:longer|more) than) 262144",
        r"metadata\.annotations: Too long",
        r"etcdserver: request is too large|request entity too large|Request is too large|trying to send message larger than max",
        r"data: Too long|must be less than or equal to 1048576",
    ),
    _line(
        "ImmutableField",
        r"field is immutable|immutable field|is immutable",
        r"updates to statefulset spec for fields other than",
        r"may not (?:change once set|be changed)|cannot be changed|can not be changed|cannot change `?(?:roleRef|clusterIP)|cannot change roleRef",
        r"is immutable after creation|spec is immutable",
        r"Forbidden: (?:updates to|may not|field can|spec is|pod updates may not|is immutable|can not|no updates)",
        r"immutable once set|provided at creation|can only be (?:set|changed) at creation",
        r"primary clusterIP can not be unset",
        r"spec\.clusterIP: Invalid value",
        r"spec\.selector: (?:Invalid value|Required value|Forbidden)",
    ),
    _line(
        "FieldConflict",
        r"conflicts? with \"[^\"]{0,300}\"(?: with subresource[^:]{0,300})?(?: using|:)",
        r"Apply failed with \d+ conflicts?",
        r"conflict with .* using",
    ),
    _line("ForbiddenInTarget", r"asked for the client to provide credentials"),
    _line(
        "AutoSyncGaveUp",
        r"object is being deleted",
        r"failed to download openapi",
        r"error validating data: the server (?:is currently unable|was unable|has received too many)",
    ),
    _line("ObjectInvalid/Taken", r"already exists", r"already allocated"),
    _line(
        "ObjectInvalid",
        r"unknown field \"|strict decoding error|error validating data|ValidationError\(|failed to create typed patch object|field not declared in schema",
        r"Required value|Unsupported value|Invalid value|Duplicate value|is invalid: |must validate (?:one|at least one|all)",
        r"provided port is not in the valid range|provided (?:IP|range) is not in the valid range|failed to allocate (?:a |requested )?(?:IP|node ?port|health check)",
        r"resourceVersion (?:must be unset|should not be set)|resourceVersion.*must be unset|resourceVersion: Invalid",
        r"can be resized",
        r"cannot unmarshal|unable to decode|quantities must match|must be no more than \d+ characters|Too long: ",
        r"name is required|name or generateName is required|the (?:API version|kind|name|namespace).* in the data .* does not match|does not match the namespace",
        r"`selector` does not match template `labels`|may not be specified when|must be specified|only one of|is not a valid|is not supported",
        r"unsupported .{0,60}version|the object provided is unrecognized|no objects passed to apply",
    ),
    _line(
        "ForbiddenInTarget",
        r"is forbidden: User",
        r"no matching service account found for destination",
        r"is not permitted in (?:project|AppProject)",
        r"cannot (?:get|list|watch|create|update|patch|delete|escalate|impersonate) resource",
        r"attempting to grant RBAC permissions not currently held",
        r"failed to get impersonat|cannot impersonate",
        r"\bUnauthorized\b|asked for the client to provide credentials",
    ),
    _line(
        "DestinationUnknown",
        r"Failed to get destination cluster",
        r"there are no clusters with this name",
        r"cluster \"[^\"]{0,300}\" not found",
    ),
    _line(
        "SpecNotPermitted",
        r"InvalidSpecError",
        r"Failed to load application project",
        r"not permitted to use project",
    ),
    _line("DriftFight/Shared", r"Shared resource found"),
    _line(
        "OperationOrphaned/TimedOut",
        r"triggered by controller sync timeout",
        r"operation is terminating due to timeout",
    ),
)
"""Why an operation, or one resource of it, failed."""
GENERIC = re.compile(
    r"^(?:one or more (?:synchronization tasks are not valid|objects failed to apply|synchronization tasks completed unsuccessfully|SyncFail hooks failed)"
    r"|Operation terminated|successfully synced|synchronization tasks are not valid)[^:]*$",
    re.IGNORECASE,
)
"""Words that only say that it failed."""
BY_HAND = re.compile(r"^Operation terminated", re.IGNORECASE)
HOOK_RESULTS = linear(
    r"one or more (?:SyncFail )?hooks? failed|hook .* failed|completed unsuccessfully"
)
MIGRATES = re.compile(
    r"migrat|schema|flyway|liquibase|alembic|\bdb\b|database|goose|sequelize|prisma", re.IGNORECASE
)

ROLLOUTS = PatternTable(
    _line("RolloutInvalid", r"\bInvalidSpec\b|The Rollout \"[^\"]{0,300}\" is invalid"),
    _line(
        "AnalysisError",
        r"assessed Error|consecutiveErrors? \(\d+\)|analysis (?:run )?(?:phase )?error",
    ),
    _line(
        "AnalysisInconclusive",
        r"InconclusiveAnalysisRun|InconclusiveExperiment|assessed Inconclusive",
    ),
    _line("AnalysisFailed", r"assessed Failed"),
    _line("RolloutAborted", r"RolloutAborted|Rollout aborted"),
)
"""What a Rollout says (argo-rollouts utils/conditions,
resource_customizations/argoproj.io/Rollout/health.lua)."""
POD_RESULTS = PatternTable(
    _line("OutOfMemory", r"\bOOMKilled\b", r"out of memory|memory cgroup", r"exit code 137.*OOM"),
    _line(
        "ConfigMissing",
        r"\bCreateContainerConfigError\b",
        r"(?:configmap|secret)s? \"[^\"]{0,300}\" not found",
        r"couldn't find key .* in (?:ConfigMap|Secret)",
        r"references non-existent (?:secret|config) key",
        r"MountVolume\.SetUp failed .*(?:configmap|secret)s? .*not found",
        r"(?:configmap|secret) .* not (?:found|registered)",
    ),
    _line(
        "ImageUnavailable/Auth",
        r"(?:pull|image|registry|manifest|repository).*(?:\b401\b|\b403\b|unauthorized|authentication required|authorization failed|no basic auth credentials|pull access denied|denied: |access forbidden|insufficient_scope|not authorized)",
    ),
    _line(
        "ImageUnavailable/NotFound",
        r"(?:pull|image|manifest|resolve reference).*(?:not found|manifest unknown|does not exist|no such (?:image|manifest)|name unknown|NAME_UNKNOWN|MANIFEST_UNKNOWN|code = NotFound)",
        r"\bInvalidImageName\b|couldn't parse image (?:reference|name)|InspectFailed",
        r"no match(?:ing manifest)? for (?:platform|linux)",
    ),
    _line(
        "ImageUnavailable/Registry",
        r"(?:pull|image|registry|resolve reference).*(?:i/o timeout|no such host|connection refused|connection reset|TLS handshake|x509|dial tcp|deadline exceeded|\b429\b|toomanyrequests|rate limit|50[0234]|service unavailable|server misbehaving|no route to host|EOF)",
        r"\bRegistryUnavailable\b",
    ),
    _line(
        "ImageUnavailable",
        r"\bImagePullBackOff\b|\bErrImagePull\b|\bErrImageNeverPull\b|\bImageInspectError\b",
        r"Back-off pulling image|failed to pull (?:and unpack )?image",
    ),
    _line(
        "Unschedulable",
        r"\bUnschedulable\b",
        r"\bEvicted\b|node was low on resource|Preempting",
        r"\d{1,6}/\d{1,6} nodes are available",
        r"FailedScheduling|unbound immediate PersistentVolumeClaims|didn't match Pod's node affinity|had untolerated taint",
        r"FailedAttachVolume|Multi-Attach|ProvisioningFailed|waiting for a volume to be created|no persistent volumes available|storageclass.* not found|failed to provision volume",
        r"no volume plugin matched|waiting for first consumer",
        r"preempted|Insufficient (?:cpu|memory|ephemeral|pods|nvidia)",
    ),
    _line(
        "QuotaExceeded",
        r"exceeded quota",
        r"forbidden: (?:maximum|minimum|failed quota|\[?maximum)",
        r"failed quota",
    ),
    _line(
        "AdmissionDenied",
        r"violates PodSecurity",
        r"denied the request",
        r"unable to validate against any (?:pod security|security context)",
    ),
    _line("WebhookDown", r"failed calling webhook"),
    _line(
        "ForbiddenInTarget",
        r"is forbidden: error looking up service account",
        r"serviceaccount .* not found",
    ),
    _line(
        "RolloutFailed",
        r"\bCrashLoopBackOff\b|back-off .* restarting failed container",
        r"exceeded its progress deadline|ProgressDeadlineExceeded|progress deadline|timed out progressing",
        r"(?:Liveness|Readiness|Startup) probe (?:failed|errored)",
        r"\bRunContainerError\b|\bCreateContainerError\b|failed to (?:start|create) container|failed to create shim|StartError|ContainerCannotRun|PostStartHookError",
        r"containers with unready status|container .* is not ready|ContainersNotReady",
        r"has failed progressing|MinimumReplicasUnavailable|does not have minimum availability",
        r"exited with (?:exit )?code|exit code [1-9]|terminated with|\bError\b.*exit",
        r"DeadlineExceeded",
    ),
    _line(
        "HookFailed",
        r"reached (?:the )?specified backoff limit|BackoffLimitExceeded|Job was active longer than specified deadline",
    ),
)
"""What a pod, a workload, a volume claim or an event says."""
