#!/bin/bash
#SBATCH --job-name=bolus
#SBATCH --output=/data/maps/.bolus/logs/bolus-%A_%a.log
#SBATCH --open-mode=append
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=32768M
#SBATCH --gres=gpu:1
#SBATCH --array=1-1
#SBATCH --requeue
#SBATCH --signal=B:USR1@120

over=
trap 'over=yes; kill -TERM $! 2>/dev/null' USR1
trap 'kill -TERM $! 2>/dev/null' TERM
apptainer exec --nv /images/bolus.sif python3 -m bolus_cluster run /data/bids /data/maps participant --set dsc.deconvolution=csvd,osvd --workers 1 --shard "$SLURM_ARRAY_TASK_ID/1" &
wait $!; code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done
wait $! 2>/dev/null; last=$?
[ "$last" -eq 127 ] || code=$last
# USR1 says that the time is nearly over, 143 that bolus stopped for it: the rest is done in another turn.
if [ -n "$over" ] && [ "$code" -eq 143 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 20 ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit "$code"
