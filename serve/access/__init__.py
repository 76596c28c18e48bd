"""Who may call, and as which tenant."""
