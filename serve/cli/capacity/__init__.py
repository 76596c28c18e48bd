"""How long each stage takes on which hardware, and what that means for a fleet: profiles, formulas, a simulation."""
