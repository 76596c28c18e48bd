"""The programs and pinned requirements of the servers that ragserve is compared with."""
