"""From the network's outputs to tracks through whole videos."""
