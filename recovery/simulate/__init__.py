"""An embedded cluster with Argo CD's reactions, a virtual clock, and the demo."""
