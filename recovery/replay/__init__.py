"""The past, judged again: what these policies would have done.

``prometheus`` reads the state of every application in the past from Argo CD's own metric,
``timeline`` puts it in order, ``past`` judges it in virtual time by the shipped judgement,
``report`` counts.
"""
