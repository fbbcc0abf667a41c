"""What Kubernetes is given, checked without one: `schemas.py` says by what."""
