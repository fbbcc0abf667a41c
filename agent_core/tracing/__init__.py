"""Traces: what sessions do as OpenTelemetry spans, for whoever sets an OTLP endpoint.

The rule here: without an endpoint nothing of OpenTelemetry is imported and no observer is installed. `context.py`,
`settings.py` and `installing.py` are what the rest of the program may import; everything else waits until it is on.
"""
