"""Administers tunnels by Anthropic's Tunnels API: makes and archives them, their CAs and their tokens."""
