"""Who sees it: a thin lookup over published lists, and the tenant's switches."""
