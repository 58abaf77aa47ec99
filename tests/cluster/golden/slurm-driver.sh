#!/bin/bash
#SBATCH --job-name=bolus
#SBATCH --output=/data/maps/.bolus/logs/bolus-%j.log
#SBATCH --open-mode=append
#SBATCH --partition=short
#SBATCH --account=neuro
#SBATCH --qos=normal
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4096M
#SBATCH --time=36:00:00
#SBATCH --requeue
#SBATCH --signal=B:USR1@120

module load python/3.12 || exit 3
export NUMBA_CACHE_DIR=$HOME/.cache/numba

over=
trap 'over=yes; kill -TERM $! 2>/dev/null' USR1
trap 'kill -TERM $! 2>/dev/null' TERM
/opt/bolus/bin/python -m bolus_cluster run /data/bids /data/maps participant --set dsc.deconvolution=csvd,osvd --workers 64 --cluster slurm &
wait $!; code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done
wait $! 2>/dev/null; last=$?
[ "$last" -eq 127 ] || code=$last
# USR1 says that the time is nearly over, 143 that bolus stopped for it: the rest is done in another turn.
if [ -n "$over" ] && [ "$code" -eq 143 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 20 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
