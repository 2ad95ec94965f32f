"""Inputs that are damaged, odd or malicious, made from seeds, and what the commands make of them.

``python -m tests.hostile --count 200`` runs many of each kind and writes the counts; the tests run
a few. Each trial is a process of its own, so that a crash, a loop without end or a hunger for
memory is an outcome and not the end of the run.
"""
