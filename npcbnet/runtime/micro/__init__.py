"""The micro-kernels: each file writes one kind of step; the README of `runtime` draws what they do."""
