package processing

func beWorker() bool { return false }
