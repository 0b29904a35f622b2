"""Corrections: what somebody finds to be wrong about a package, as rows of knowledge."""
