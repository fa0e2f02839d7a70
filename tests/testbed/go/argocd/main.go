// Argo CD's components in one binary that looks at its own name, as the
// upstream image does.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	applicationset "github.com/argoproj/argo-cd/v3/cmd/argocd-applicationset-controller/commands"
	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	server "github.com/argoproj/argo-cd/v3/cmd/argocd-server/commands"
)

func main() {
	var command *cobra.Command
	switch name := filepath.Base(os.Args[0]); name {
	case "argocd-server":
		command = server.NewCommand()
	case "argocd-repo-server":
		command = reposerver.NewCommand()
	case "argocd-application-controller":
		command = controller.NewCommand()
	case "argocd-applicationset-controller":
		command = applicationset.NewCommand()
	default:
		fmt.Fprintf(os.Stderr, "unknown Argo CD component %q\n", name)
		os.Exit(2)
	}
	if err := command.Execute(); err != nil {
		os.Exit(1)
	}
}
