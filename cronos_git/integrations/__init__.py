"""What other subsystems of EGOS add: policy, map, module dependencies, log. Each sees only the ports. Floor F8."""
