"""A recovery controller for Argo CD: notice, judge, cure, prove, tell.

One straight line runs through the code, one folder a stage::

                kube/ argocd/      (the only doors to the outside)
                  |                                          ^
       list/watch v                                          | patch, event
     observe/ -> store -> decide/ -> claim -> act/ -> record/ -> notify/
                  Subject    Decision   (record/)  Outcome   Recovery, audit,   people
                  + Recovery                                 metrics, events
                  + Policy + fleet + now
                     '---- controller.py: reconcile(key) ----'
     Two shells wire it: app.py (real cluster), simulate/ (embedded cluster, virtual clock)

``decide/`` is pure: values in, decisions out. Start reading at ``controller.py``, then
``decide/engine.py`` and ``decide/state.py``.
"""

__version__ = "0.2.0"
