"""How a stage is called: handles, clients, shared messages, inline stages, routing."""
