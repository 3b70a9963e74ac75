"""Asks: sockets, files and clients, one module for each layer. What came back is judged elsewhere."""
