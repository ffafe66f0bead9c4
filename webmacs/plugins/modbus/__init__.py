"""`modbus`: registers and bits of Modbus devices, over TCP and serial lines."""
