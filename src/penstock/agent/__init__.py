"""The agent: the process beside each running attempt.

Standard library only, one process an attempt, started before its attempt is known. It survives the server.
"""
