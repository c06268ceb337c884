"""The verifier as a service: challenges, evidence and verdicts over HTTP, and the client that nodes use.

docs/verifier-service.md defines the protocol. `client` and `errors` import neither the server's libraries nor its
database.
"""
