"""Every accepted connection gets its disconnect: the journal, and who runs what was missed."""
