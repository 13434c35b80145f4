"""Durable, declarative workflows."""
