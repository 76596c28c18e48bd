"""Plain data that crosses layers and replicas: frozen dataclasses and float32 arrays.

Frozen dataclasses without slots pickle faster than slotted ones or pydantic models. A numpy array pickles in less than
half the time of a list of floats.
"""
