"""Sans-I/O readers: bytes in, typed facts or a :class:`~tunnelgate.reading.fault.Fault` out.

Nothing here decides, answers, waits or looks at a clock.
"""
