"""Benchmarks: each figure beside a reference measured in the same run, medians and spread, never a test."""
