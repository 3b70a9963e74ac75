"""The doctor: tries every layer between a client and the servers behind the gate, and says what to do."""
