"""Agents: what one is (``spec``), how it is told what to do (``prompts``), and its loop of model turns and tool calls.

Rules: the loop owns turn retries and the model ladder; it never decides about stages; reaching the tool-call limit raises
``ToolCallLimitReached`` with the whole conversation.
"""
