"""Stage times per class of hardware, and the load that replicas can carry: profiles, formulas, a simulation."""
