"""A name that tries everything."""

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>&\u2028\u202e{x.__class__}"
