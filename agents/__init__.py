"""Agents over the tools: a toolbox for LangChain, an offline model, questions, report checks, the claim ledger, evals."""
