"""Runnable compositions of medssl, one file a stage, each read from top to bottom.

phantom | fetch -> index -> plan -> cache -> embed -> select -> pretrain -> finetune -> evaluate
-> compare; embed -> probe; and predict. A stage reads files, writes files, and calls no other
stage; only `study` does, and `bench`, which measures them.
"""
