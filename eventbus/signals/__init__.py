"""The signals of the process, heard from the first moment on."""
