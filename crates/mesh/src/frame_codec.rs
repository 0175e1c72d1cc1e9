//! How requests and responses lie on a stream: `length u32 ‖ bytes`, the length checked before
//! anything is allocated.
use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;

use crate::message::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};

/// Bytes are read this many at a time, so that a peer that only announces a long message costs little.
const CHUNK_BYTES: usize = 64 << 10;

/// Frames bytes; what they mean is for [`crate::message`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FrameCodec;

impl Codec for FrameCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _protocol: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        match read_frame(io, REQUEST_BYTES_MAX).await {
            // The library keeps silent about a request that was not read, so the peer would never
            // be counted. An empty request is handed on in its place: it is malformed just as well.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Vec::new()),
            result => result,
        }
    }

    async fn read_response<T>(&mut self, _protocol: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_frame(io, RESPONSE_BYTES_MAX).await
    }

    async fn write_request<T>(&mut self, _protocol: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &bytes).await
    }

    async fn write_response<T>(&mut self, _protocol: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &bytes).await
    }
}

/// A frame that is too long is [`io::ErrorKind::InvalidData`]: the peer's fault, unlike a broken connection.
async fn read_frame<T: AsyncRead + Unpin + Send>(io: &mut T, max: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > max {
        let why = format!("a frame of {length} bytes, at most {max}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut bytes = Vec::with_capacity(length.min(CHUNK_BYTES));
    while bytes.len() < length {
        let start = bytes.len();
        bytes.resize(length.min(start + CHUNK_BYTES), 0);
        io.read_exact(&mut bytes[start..]).await?;
    }
    Ok(bytes)
}

async fn write_frame<T: AsyncWrite + Unpin + Send>(io: &mut T, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(bytes).await?;
    io.flush().await
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    #[test]
    fn a_frame_is_read_back() {
        let bytes = vec![9; 3 * CHUNK_BYTES + 1];
        let mut stream = Cursor::new(Vec::new());
        block_on(write_frame(&mut stream, &bytes)).expect("memory");
        stream.set_position(0);
        assert_eq!(block_on(read_frame(&mut stream, bytes.len())).expect("whole"), bytes);
    }

    #[test]
    fn a_frame_above_its_maximum_is_not_read() {
        let mut stream = Cursor::new(vec![0, 0, 0, 11, 1, 2, 3]);
        let error = block_on(read_frame(&mut stream, 10)).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_frame_cut_short_is_an_error() {
        let mut stream = Cursor::new(vec![0, 0, 0, 5, 1, 2]);
        assert!(block_on(read_frame(&mut stream, 10)).is_err());
    }
}
