"""The deterministic chat model: what is asked, what to do next, and the sentences of the answer."""
