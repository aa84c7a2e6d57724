"""Methods that edit image models, one in each file; `joint_ridge` is the solve that several share."""
