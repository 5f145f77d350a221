"""The authors' published weights, as their code writes them, to model folders of ours: read, recognised, renamed."""
