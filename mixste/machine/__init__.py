"""What the machine has and gives: the CPUs that are ours (`cpus`), a device's speed (`hardware`), memory (`memory`)."""
