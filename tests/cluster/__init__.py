"""The cluster tried out on several machines that are namespaces of one host: `make check-cluster`."""
