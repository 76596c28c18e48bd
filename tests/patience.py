"""How long a test waits for what must come. Only a hang takes as long, even beside a cluster that starts."""

PATIENCE_S = 240.0
