"""Incidents on purpose: a real service, a real Prometheus with our alerts, a fault, and the seconds until it is named.

`python -m loadtests.incidents --report FOLDER`, from the checkout, with the program `prometheus` installed.
"""
