"""The inspector: a run of the enclave on the screen, gone through forwards and backwards (docs/inspector.md).

`model` makes what is shown out of a session, as plain rows of text; `worker` owns the session, in a thread of its own;
`app` and `panes` draw and take keys.
"""
