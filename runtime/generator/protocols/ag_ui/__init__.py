"""AG-UI 1.0 (docs/ag-ui.md): ``projection`` turns a run's events into AG-UI's, ``request`` turns AG-UI's request into ours.

``routes`` serves them, together with the four paths that a CopilotKit front end calls. The types and their encoding are those of
the official package ``ag-ui-protocol``.
"""
