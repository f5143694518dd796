"""The lab in a browser: networks that train while somebody changes them, on the engine that ``hw.check`` uses.

What describes a network (``spec``, ``controls``, ``plan``) and the server load without torch; what runs one is loaded
in the processes that run them.
"""
