"""Tests of `actors` on a local Ray cluster that the whole run shares."""
