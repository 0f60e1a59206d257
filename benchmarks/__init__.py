"""Measures this service beside programs that do the same work: make bench writes docs/performance.md."""
