"""Tools: what a function becomes, where its code is found again, and how it is run."""
