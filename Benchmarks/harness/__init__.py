"""Starts systems, loads them from outside, and measures them. Needs wrk, strace, a C compiler; no Python packages."""
