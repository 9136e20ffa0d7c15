from hypothesis import HealthCheck, settings

# Without a deadline, because a loaded machine is not a defect.
settings.register_profile("relay", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("relay")
